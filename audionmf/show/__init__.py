"""What a person sees: the report page, a notebook, words about a file.

A file imports only from those that are named before it:

- `report`: a page to hear and see stems
- `info`: what a file holds, in words
- `display`: results in a notebook
"""
