from pathlib import Path

BASE_DIR = Path(__file__).parent.parent
SECRET_KEY = "for tests"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "people",
    "books",
    "journal",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AUTH_USER_MODEL = "people.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "library.urls"
STATIC_URL = "static/"
USE_TZ = True
TEST_RUNNER = "freshpg.drivers.django.TestRunner"
DATABASE_ROUTERS = ["library.routers.Router"]
PRODUCTION = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "db.invalid",
    "PORT": "1",
    "USER": "nobody",
    "PASSWORD": "secret",
    "OPTIONS": {"sslmode": "verify-full", "hostaddr": "192.0.2.1", "application_name": "library"},
}
DATABASES = {
    "default": {**PRODUCTION, "NAME": "library"},
    "replica": {**PRODUCTION, "NAME": "library", "TEST": {"MIRROR": "default"}},
    "journal": {**PRODUCTION, "NAME": "journal"},
    "unused": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
