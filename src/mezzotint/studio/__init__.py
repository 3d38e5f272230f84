"""The studio: a page in which a visitor sees a model draw, and edits what it drew.

It is served by gradio's server, which brings the queue; the page is our own (``assets/page``).
"""
