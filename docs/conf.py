"""How the pages are built: `scripts/docs`."""

import html
import re
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst
from sphinx_gallery.sorting import ExplicitOrder

import audionmf


def own_pictures(_block, variables, configuration):
    """Show the pictures of `audionmf.plot`, which pyplot does not know of."""
    found, seen = [], variables.setdefault("shown", set())
    for value in list(variables["example_globals"].values()):
        picture = value.figure if isinstance(value, Axes) else value
        own = isinstance(picture, Figure) and not hasattr(picture, "number")
        if own and id(picture) not in seen:
            seen.add(id(picture))
            found.append(next(variables["image_path_iterator"]))
            audionmf.plot.save(picture, found[-1])
    return figure_rst(found, configuration["src_dir"])


THUMBNAIL = re.compile(
    r'(<a class="reference internal" href="plot_[^>]*)(><span class="doc">)(.*?)(?=</span></a>)'
)


def accessible(_app, name, _template, context, _document):
    """Mend what a reader aloud stumbles over: headings without level, cells and links without words."""
    tree, body = (
        context.get(part, "").replace('role="heading"', 'role="heading" aria-level="2"')
        for part in ("furo_navigation_tree", "body")
    )
    context["furo_navigation_tree"] = tree
    body = body.replace('<th class="head"><p></p></th>', '<td class="head"></td>')
    body = THUMBNAIL.sub(  # its own words are hidden: those under the picture are seen
        lambda found: f'{found[1]} aria-label="{html.escape(found[3])}"{found[2]}{found[3]}', body
    )
    if name.startswith("api/"):  # a long name breaks at its dots
        body = re.sub(r"<h1>.*?(?=<a )", lambda found: found[0].replace(".", ".<wbr>"), body)
    if body:
        context["body"] = body


def setup(app):
    """Ask Sphinx to call `accessible` after the theme has made its parts."""
    app.connect("html-page-context", accessible, priority=900)


project = "audionmf"
author = "the authors of audionmf"
release = version = audionmf.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
]
exclude_patterns = ["gallery"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

html_theme = "furo"
html_title = "audionmf"
html_theme_options = {"top_of_page_buttons": []}  # the source of a page is of no use to its readers
templates_path = ["style/templates"]
html_extra_path = sorted(  # pictures with a dark twin are named in HTML, which Sphinx does not read
    f"{picture.stem.removesuffix('-dark')}{ending}.png"
    for picture in Path(__file__).parent.glob("*-dark.png")
    for ending in ("", "-dark")
)
html_static_path = ["style/pictures.css", "style/pictures.js", "sounds"]
html_css_files = ["pictures.css"]
html_js_files = ["pictures.js"]
html_show_copyright = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = [
    "config.cache",  # the order of the gallery is an object
    "misc.highlighting_failure",  # raw lines of a shell are not all Python
    "myst.header",  # the first heading of a page may be a picture's
]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": ExplicitOrder(
        [
            f"plot_{name}.py"
            for name in (
                "by_example",
                "one_example",
                "drum_loop",
                "score",
                "known",
                "components",
                "templates",
                "masks",
                "notes",
                "remix",
                "denoise",
                "live",
                "nmf",
                "*",
            )
        ]
    ),
    "image_scrapers": ("matplotlib", own_pictures),
    "remove_config_comments": True,
    "show_memory": False,
    # How long scripts took is that of this machine, and the table of it asks the network.
    "min_reported_time": 3600,
    "write_computation_times": False,
    "ignore_repr_types": r"matplotlib\.(legend|text|axes|lines|figure)",
    "abort_on_example_error": True,
    "plot_gallery": True,
    "download_all_examples": False,
}
