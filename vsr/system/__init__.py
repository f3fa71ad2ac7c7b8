"""What Linux, macOS and Windows do differently: files, locks, signals, pipes, memory.

All other code asks here. Each module chooses by `sys.platform` when it is imported, so that type checkers see
the right half.
"""
