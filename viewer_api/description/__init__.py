"""What this server offers, told to programs and people: OpenAPI, WADL (PS3.18 8.9), a page; all from the routes."""
