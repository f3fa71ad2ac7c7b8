"""What differs between Linux, macOS and Windows: files, locks, signals, pipes, memory.

All other code calls these functions instead of checking the system itself. Each module checks `sys.platform`
when it is imported, so that a type checker sees only the code of its own system.
"""
