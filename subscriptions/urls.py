from django.urls import path

from subscriptions import views, webhooks

urlpatterns = [
    path("subscribe/", views.subscribe, name="subscribe"),
    path("confirm/<str:token>/", views.confirm, name="confirm"),
    path("preferences/<str:token>/", views.preferences, name="preferences"),
    path("move/<str:token>/", views.move, name="move"),
    path("lost/", views.lost, name="lost"),
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
    # Where anymail has it, so that each provider's setup is as anymail's documentation tells it.
    path("anymail/<slug:name>/tracking/", webhooks.provider_events, name="provider-events"),
]
