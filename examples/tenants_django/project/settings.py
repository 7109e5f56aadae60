"""Settings of the project: Django's own databases are not used, so there is none."""

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = [".notes.example"]
ROOT_URLCONF = "project.urls"
MIDDLEWARE = ["notes.middleware.WorkspaceMiddleware"]
USE_TZ = True

TENANT_POOLS = {
    "tenants": "postgresql://app@db/ws_{tenant}",
    "system": "postgresql://app@db/notes",
    "template": "ws_template",
}
