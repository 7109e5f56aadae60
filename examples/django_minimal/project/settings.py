"""As few settings as Django can do with."""

SECRET_KEY = "only for this example"
INSTALLED_APPS = ["notes"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "notes"}}
USE_TZ = True
TEST_RUNNER = "freshpg.drivers.django.TestRunner"
