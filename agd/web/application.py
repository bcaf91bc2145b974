"""The pages put together: which address shows what, and what an error looks like."""

import asyncio
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

import agd
from agd.errors import AgdError, BusyError, DatabaseError, InputError, NotFoundError
from agd.web import access, login
from agd.web.access import COOKIE, Access, Guard
from agd.web.pages import campaigns, compositions, datasets, jobs, models, screens, structures
from agd.web.site import Site, environment, site_of
from agd.work.workspace import Workspace

_LOGIN_S: Final = 10.0
_DAY_S: Final = 86400


class _Static(StaticFiles):
    """Scripts and styles, which do not change while a version is installed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = f"private, max-age={_DAY_S}"
        return answer


def create(workspace: Workspace, permitted: Access | None = None) -> ASGIApp:
    """The pages of a record, for whom `permitted` lets in."""
    permitted = permitted or Access()
    made = Starlette(
        routes=routes(),
        middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
        exception_handlers={AgdError: _told, HTTPException: _no_page, 500: _fault},
    )
    made.state.site = Site(workspace, environment())
    made.state.access = permitted
    return Guard(made, permitted)


def routes() -> list[Route | Mount]:
    """Every address that shows something."""
    at = "/campaigns/{name}"
    return [
        Route("/health", _health),
        Route("/login", _login, methods=["GET", "POST"]),
        Route("/", campaigns.campaigns),
        Route(at, campaigns.campaign),
        Route(f"{at}/live", campaigns.live),
        Route(f"{at}/elements", campaigns.elements),
        Route(f"{at}/suggestions", campaigns.suggestions),
        Route(f"{at}/iterations", campaigns.iterations),
        Route(f"{at}/figures/{{figure}}", campaigns.figure),
        Route("/composition/{formula}", compositions.composition),
        Route("/search", compositions.search),
        Route("/structures/{id:int}", structures.structure),
        Route("/screens", screens.screens),
        Route("/screens/{id:int}", screens.screen),
        Route("/models", models.models),
        Route("/models/{id:int}", models.model),
        Route("/jobs", jobs.jobs),
        Route("/jobs/{id:int}", jobs.job),
        Route("/datasets", datasets.datasets),
        Route("/datasets/{id:int}", datasets.dataset),
        Route("/datasets/{id:int}/refused", datasets.refused),
        *_optimade(),
        Mount("/static", _Static(directory=str(files("agd.web") / "static"))),
    ]


def _optimade() -> list[Route]:
    """What other programs ask, where the package that reads their filters is there."""
    try:
        from agd.web.optimade import answers
    except ImportError:
        return []
    return answers.routes()


def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _login(request: Request) -> Response:
    permitted: Access = request.app.state.access
    if request.method != "POST":
        return login.page()
    client = request.client.host if request.client is not None else ""
    if not permitted.may_try(client):
        return login.page("Too many tries: wait a minute.", 429)
    try:
        async with asyncio.timeout(_LOGIN_S):
            body = await access.body_of(request)
    except TimeoutError:
        return PlainTextResponse("that took too long\n", 408)
    if body is None:
        return PlainTextResponse("nothing so large is sent here\n", 413)
    try:
        given = parse_qs(body.decode(errors="replace"), max_num_fields=4).get("password", [""])[0]
    except ValueError:  # more fields than the form has
        given = ""
    if not permitted.is_password(given):
        return login.page("That is not the password.", 401)
    session, lasts_s = permitted.new_session()
    answer = RedirectResponse("/", 303)
    is_secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, max_age=lasts_s, httponly=True, samesite="strict", secure=is_secure)
    return answer


def _told(request: Request, error: Exception) -> Response:
    """A mistake, or what is not there, or not now."""
    status = next(
        (
            code
            for kind, code in ((NotFoundError, 404), (InputError, 400), (BusyError, 503), (DatabaseError, 503))
            if isinstance(error, kind)
        ),
        500,
    )
    return site_of(request).show("error.html", status, said=str(error))


def _no_page(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    said = "There is no such page." if code == 404 else "That cannot be done here."  # noqa: PLR2004  not found
    return site_of(request).show("error.html", code, said=said)


def _fault(request: Request, _: Exception) -> Response:
    """A fault of ours: the server's log has the rest."""
    said = f"This page has a fault in agd {agd.__version__}; the terminal of `agd web` tells which."
    return site_of(request).show("error.html", 500, said=said)
