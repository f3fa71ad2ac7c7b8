"""Videos that are no local files: URLs of object stores and web servers, and file objects of a program.

The lowest part of `vsr.media`. `fsspec` is imported when a URL is opened, never before. Everything else of
`vsr` names such a video by a `Path` (`places`), and reads its bytes through `reader`.
"""
