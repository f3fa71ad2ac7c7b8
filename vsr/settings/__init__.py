"""The settings of a run, their limits, and how TOML files, presets and keywords set them.

Each setting is one field in `schema.py`. Its flag, help, TOML key, keyword of `vsr.upscale` and place in the
resume key all come from this field. What a setting does is implemented elsewhere.
"""
