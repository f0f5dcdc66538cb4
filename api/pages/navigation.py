"""The pages that every page leads to, in the order in which they are shown."""

from dataclasses import dataclass

from core.scopes import Scope


@dataclass(frozen=True)
class Entry:
    title: str
    path: str  # below the address of the server, without the leading slash
    scope: str = Scope.READ  # callers without it are not shown the entry

    def leads_to(self, path: str) -> bool:
        """Whether a page at this path, without the leading slash, belongs to the entry."""
        return path == self.path or (self.path != "" and path.startswith(f"{self.path}/"))


ENTRIES = (
    Entry("Home", ""),
    Entry("Jobs", "jobs"),
    Entry("Library", "library"),
    Entry("Review", "review", Scope.WRITE),
    Entry("Models", "models"),
    Entry("Training", "training"),
    Entry("Settings", "settings"),
)
