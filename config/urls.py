"""URLs. Those of pages are in digest/urls.py."""

from django.contrib import admin
from django.urls import include, path

from digest.views.access import rate_limited
from subscriptions.admin.log_in import log_in
from subscriptions.bounces.webhooks import provider_events

urlpatterns = [
    path("admin/login/", rate_limited(log_in)),  # Instead of admin:login.
    path("admin/", admin.site.urls),
    # The path of anymail, so that its documentation of each provider's settings applies.
    path("anymail/<slug:name>/tracking/", provider_events, name="provider-events"),
    path("", include("digest.urls")),
]

handler400 = "config.error_views.bad_request"
handler403 = "config.error_views.forbidden"
handler404 = "config.error_views.not_found"
handler500 = "config.error_views.server_error"
