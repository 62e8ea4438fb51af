from django.urls import path

from subscriptions import views

urlpatterns = [
    path("subscribe/", views.subscribe, name="subscribe"),
    path("confirm/<str:token>/", views.confirm, name="confirm"),
    path("preferences/<str:token>/", views.preferences, name="preferences"),
    path("move/<str:token>/", views.move, name="move"),
    path("lost/", views.lost, name="lost"),
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
]
