"""The settings of a run: what can be set, how TOML files, keywords and presets set it, and its limits.

A setting is one field in `schema.py`. Its flag, its help, its TOML key, its keyword of `vsr.upscale` and its
place in the resume key all come from there. How a setting is carried out is not known here.
"""
