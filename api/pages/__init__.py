"""Pages for people, made of the same services as the answers of REST: a module and a template per page."""
