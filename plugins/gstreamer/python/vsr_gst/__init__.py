"""Modules of the element `vsrupscale`, which is beside this folder and selects the versions of `gi`.

They are in a folder because GStreamer's loader treats every file beside the element as another element.
"""
