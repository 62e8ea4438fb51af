"""URLs. Each app lists its own."""

from django.contrib import admin
from django.urls import include, path

from subscriptions.log_in import log_in

urlpatterns = [
    path("admin/login/", log_in),  # Instead of admin:login.
    path("admin/", admin.site.urls),
    path("", include("subscriptions.urls")),
    path("", include("digest.urls")),
]

handler400 = "config.errors.unreadable"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler500 = "config.errors.broken"
