from django.urls import path

from subscriptions.views import change_address, preferences, signup, unsubscribe, webhooks

urlpatterns = [
    path("subscribe/", signup.subscribe, name="subscribe"),
    path("confirm/<str:token>/", signup.confirm, name="confirm"),
    path("preferences/<str:token>/", preferences.preferences, name="preferences"),
    path("move/<str:token>/", change_address.move, name="move"),
    path("lost/", signup.resend_link, name="lost"),
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("unsubscribe/<str:token>/messages/", unsubscribe.opt_out, name="opt-out"),
    # The path of anymail, so that its documentation of each provider's settings applies.
    path("anymail/<slug:name>/tracking/", webhooks.provider_events, name="provider-events"),
]
