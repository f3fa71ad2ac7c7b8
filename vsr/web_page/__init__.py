"""Pages in one HTML file that need no network: the document with its style, and charts as SVG."""
