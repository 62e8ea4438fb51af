"""URLs. Each app lists its own."""

from django.contrib import admin
from django.urls import include, path

from subscriptions.views.admin_login import log_in

urlpatterns = [
    path("admin/login/", log_in),  # Instead of admin:login.
    path("admin/", admin.site.urls),
    path("", include("subscriptions.urls")),
    path("", include("digest.urls")),
]

handler400 = "config.error_views.bad_request"
handler403 = "config.error_views.forbidden"
handler404 = "config.error_views.not_found"
handler500 = "config.error_views.server_error"
