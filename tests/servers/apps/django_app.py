"""
Django: `relay_app` beside its ASGI application, and `drained_app` around both, for Django has no lifespan.

A view answers with a Django response, never with an ASGI application: it streams what
`Relay.subscribe` gives by itself.
"""

# mypy: disable-error-code="import-not-found"
# pyright: reportMissingImports=false

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from sse_relay import DrainingError
from sse_relay.adapters.asgi import drained_app, relay_app
from tests.servers.apps.stage import allow_everyone, drained, mounted, options, perform, read, refusal, relay, staged

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a test")


async def start(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """Start a run, and stream it."""
    del request
    try:
        run = await relay.start(perform(run_id), run_id=run_id)
    except DrainingError as error:
        info, said = refusal(error)
        return JsonResponse(said, status=info.status)
    headers = {"cache-control": "no-store"}
    return StreamingHttpResponse(read(run.id), content_type="text/event-stream", headers=headers)


urlpatterns = [path("start/<str:run_id>", start)]

app = staged(
    drained_app(
        mounted({"/relay": relay_app(relay, authorize=allow_everyone, **options)}, get_asgi_application()),
        relay,
        **drained,
    )
)
