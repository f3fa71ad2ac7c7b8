"""The flags of commands: how they are declared, and what becomes of their words."""
