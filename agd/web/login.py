"""The one page that is shown without a password: it asks for it, and brings its own style."""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from starlette.responses import HTMLResponse

_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>agd</title><style>{style}</style></head>
<body><main><form method="post" action="/login"><h1>agd</h1>{said}
<label>Password <input type="password" name="password" autocomplete="current-password" required autofocus></label>
<button>Look at the record</button></form></main></body></html>
"""


def page(said: str = "", status: int = 200) -> HTMLResponse:
    """The page that asks for the password, with a word on why it is shown again."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    words = f'<p role="alert">{escape(said)}</p>' if said else ""
    answer = HTMLResponse(_PAGE.format(style=style, said=words), status)
    answer.headers["content-security-policy"] = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    if status == 401:  # noqa: PLR2004  not admitted
        answer.headers["www-authenticate"] = "Bearer"
    return answer


@cache
def _style() -> str:
    return (files("agd.web") / "static" / "login.css").read_text()
