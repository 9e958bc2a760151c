"""What a person sees: the report page, a notebook, words about a file.

A file imports only from those that are named before it:

- `words`: what sources and components are called and sound like
- `embedding`: audio inside a page
- `pictures`: the pictures of a report
- `drawings`: small drawings between the words of a page
- `rolls`: piano rolls for a page
- `tones`: notes as plain tones
- `webpage`: the page of a report, as HTML
- `report`: a page to hear and see stems
- `info`: what a file holds, in words
- `display`: results in a notebook
"""
