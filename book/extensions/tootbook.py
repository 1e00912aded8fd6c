"""What the book needs beyond Jupyter Book: links between chapters and reference, a 404 page,
accessible pages.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import accessible
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx_codeautolink.extension.block import CodeBlockAnalyser

from tootlearn.models import export, model_file

# a list's, an emphasis, or one that means itself
STARS = re.compile(r"^\s*\* |(\*\*?)(?=\S).+?(?<=\S)\1|\*")
TYPE_VARIABLES = {"tootlearn.models.layers.Layer", "tootlearn.cli.training_options.Config"}
LOST = (
    "<h1>There is no such page</h1><p>It may have moved. The search finds it, if it is here; "
    'else begin again at <a href="book/intro.html">the first page</a>.</p>'
)


class Chapter(SphinxDirective):
    """`{chapter} 01_stft`: the sentence that leads from a page of the reference to its chapter, if
    that is there.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        document = f"notebooks/{self.arguments[0]}"
        if document not in self.env.found_docs:
            return []
        link = addnodes.pending_xref(
            "",
            reftype="doc",
            refdomain="std",
            reftarget=f"/{document}",
            refexplicit=False,
            refwarn=True,
        )
        link += nodes.inline()
        return [nodes.paragraph("", "", nodes.Text("The chapter: "), link, nodes.Text("."))]


def missing(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> Any:
    """What a docstring or a signature names: ours by its last word, what belongs to others as plain
    text.

    What begins with "tootlearn" is meant to be here, and stays an error.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") == "py" and target in TYPE_VARIABLES:
        return content
    if node.get("refdomain") != "py" or target.startswith("tootlearn"):
        return None
    objects = env.get_domain("py").objects
    ours = [
        name
        for name, entry in objects.items()
        if name.endswith(f".{target}") and entry.objtype != "module"
    ]
    if len(ours) != 1:
        return content
    entry = objects[ours[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, ours[0])


def visit_title(self: CodeBlockAnalyser, node: nodes.title) -> None:
    """As the original, but only titles of sections: those of admonitions would stay."""
    if isinstance(node.parent, nodes.section):
        self.title_stack.append(node.astext())


def titled(node: nodes.section) -> bool:
    """Not so the sections that sphinx-exercise makes, whose ids are the same for every exercise."""
    return any(type(child) is nodes.title for child in node.children)


def visit_section(self: CodeBlockAnalyser, node: nodes.section) -> None:
    """As the original, but only for sections with a title."""
    if titled(node):
        self.current_refid = node["ids"][0]


def depart_section(self: CodeBlockAnalyser, node: nodes.section) -> None:
    """As the original, but only for sections with a title."""
    if titled(node):
        self.title_stack.pop()


def launch_buttons(app: Sphinx, config: Any) -> None:
    """Links to the repository, Colab and Binder: only where the build knows the repository's
    address.
    """
    address = os.environ.get("BOOK_REPOSITORY", "")
    if address:
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": "main",
            "path_to_docs": "",
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
            },
        }


def plain(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with `code`: a lone star means itself, and an indented block stays
    as it stands.
    """
    escaped: list[str] = []
    for line in lines:
        block = line.startswith("    ") and what == "module"
        if block and escaped and not escaped[-1].strip() and not in_block(escaped):
            escaped += ["::", ""]
        parts = line.split("`")
        parts[::2] = [
            STARS.sub(lambda found: found[0] if len(found[0]) > 1 else r"\*", part)
            for part in parts[::2]
        ]
        escaped.append(
            line if block or line.lstrip().startswith((">>>", "...")) else "`".join(parts)
        )
    lines[:] = escaped


def in_block(lines: list[str]) -> bool:
    """Whether the last line that is not empty is indented."""
    return next((line for line in reversed(lines) if line.strip()), "").startswith("    ")


def lost(app: Sphinx) -> Any:
    """The page that a server shows at any address where there is none; so its links start from the
    site's root.
    """
    yield "404", {"title": "There is no such page", "body": LOST, "display_toc": False}, "page.html"


def finish(app: Sphinx, error: Exception | None) -> None:
    """Mend each page for screen readers and keyboards, and put the model there that the playground
    plays.
    """
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    export.to_web(out / "_static/playground/model", model_file.load_model("tiny")[0])
    for page in out.rglob("*.html"):
        page.write_text(accessible.mend(page.read_text("utf8")), encoding="utf8")
    base = os.environ.get("BOOK_BASE", "").strip("/")
    page = (out / "404.html").read_text("utf8").replace('href="#', 'href="404.html#')
    address = f"/{base}/" if base else "/"
    (out / "404.html").write_text(
        page.replace("<head>", f'<head><base href="{address}">', 1), encoding="utf8"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    # kernels inherit it; with Agg, say, no figure would reach the pages
    os.environ.pop("MPLBACKEND", None)
    CodeBlockAnalyser.visit_title = visit_title
    CodeBlockAnalyser.visit_section = visit_section
    CodeBlockAnalyser.depart_section = depart_section
    app.add_directive("chapter", Chapter)
    app.connect("config-inited", launch_buttons)
    app.connect("missing-reference", missing)
    app.connect("autodoc-process-docstring", plain)
    app.connect("html-collect-pages", lost)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
