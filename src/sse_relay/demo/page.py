"""The page's files, with the headers that keep it to itself."""

from dataclasses import dataclass
from importlib.resources import files

__all__ = ["CONTENT_SECURITY_POLICY", "Asset", "load_page"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    content: bytes
    content_type: str

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it."""
        return {
            "content-type": self.content_type,
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
        }


def load_page() -> dict[str, Asset]:
    """Read the files, by the path under which each is served."""
    assets: dict[str, Asset] = {}
    for file in files("sse_relay.demo").joinpath("page").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            assets[f"/{file.name}"] = Asset(file.read_bytes(), kind)
    assets["/"] = assets.pop("/index.html")
    return assets
