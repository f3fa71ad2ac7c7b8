"""What ComfyUI reads of a folder in `custom_nodes`: the two tables of nodes."""

from .vsr_comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
