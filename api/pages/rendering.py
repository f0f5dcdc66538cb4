"""Templates: what they may use, and how one becomes a response."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.deps import Caller
from api.pages import job_titles, wording
from api.pages.addresses import path_of, root_of, with_query
from api.pages.navigation import ENTRIES
from api.pages.policy import PAGE_HEADERS
from api.pages.static_files import digest
from core import VERSION

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(
    {
        "ago": wording.ago,
        "clock": wording.clock,
        "count": wording.count,
        "exact": wording.exact,
        "iso": wording.iso,
        "percent": wording.percent,
        "score": wording.score,
        "share": wording.share,
        "short": wording.short,
        "size": wording.size,
        "span": wording.span,
    }
)
templates.filters.update({"title_of": job_titles.title_of, "kind_of": job_titles.kind_of})
templates.filters["subject_of"] = job_titles.subject_of
templates.globals["version"] = VERSION


def render(
    request: Request, template: str, caller: Caller | None, status: int = 200, **context: Any
) -> HTMLResponse:
    """The page that a template makes of `context`. Without a caller it shows no navigation.

    Templates have besides: `root` and `static`, which lead to the address of the server and to its static
    files; `path`, the page's own; `caller`; `entries`, the navigation; `with_query`; `now`.
    """
    path, root = path_of(request), root_of(request)
    html = templates.get_template(template).render(
        path=path,
        root=root,
        static=f"{root}static/{digest()}/",
        caller=caller,
        entries=[entry for entry in ENTRIES if caller is not None and caller.may(entry.scope)],
        with_query=partial(with_query, request),
        now=datetime.now(UTC),
        **context,
    )
    return HTMLResponse(html, status, PAGE_HEADERS)
