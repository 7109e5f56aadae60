class Router:
    def db_for_read(self, model, **hints):
        return "journal" if model._meta.app_label == "journal" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "journal") == (app_label == "journal")
