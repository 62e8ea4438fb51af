"""The addresses. Each room lists its own."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("subscriptions.urls")),
    path("", include("digest.urls")),
]
