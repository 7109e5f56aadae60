"""Where requests go."""

from django.urls import path
from notes import views

urlpatterns = [
    path("workspaces", views.workspaces),
    path("notes", views.notes),
]
