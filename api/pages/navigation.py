"""The pages that every page leads to, in the order in which they are shown."""

from dataclasses import dataclass

from core.scopes import Scope


@dataclass(frozen=True)
class Entry:
    title: str
    path: str  # below the address of the server, without the leading slash
    scope: str = Scope.READ  # callers without it are not shown the entry
    also: str = ""  # where further pages of the entry begin

    def leads_to(self, path: str) -> bool:
        """Whether a page at this path, without the leading slash, belongs to the entry."""
        places = [place for place in (self.path, self.also) if place]
        return path == self.path or any(path.startswith(f"{place}/") for place in places)


ENTRIES = (
    Entry("Home", ""),
    Entry("Jobs", "jobs"),
    Entry("Library", "library", also="tracks"),
    Entry("Map", "map"),
    Entry("Review", "review", Scope.WRITE),
    Entry("Models", "models"),
    Entry("Training", "training"),
    Entry("Studies", "studies"),
    Entry("Settings", "settings"),
)
