"""Parts of the element `vsrupscale`, which lies beside this folder and chooses the versions of `gi`.

They lie in a folder as GStreamer's loader takes every file beside the element for one more element.
"""
