from django.urls import path

from digest import about, gallery, views

urlpatterns = [
    path("", views.home, name="home"),
    path("preview/", views.preview, name="preview"),
    path("topics/", views.topics, name="topics"),
    path("digests/<str:token>/", views.digest, name="digest"),
    path("feedback/<str:token>/", views.feedback, name="feedback"),
    path("learned/<str:token>/", views.learned, name="learned"),
    path("why/<str:token>/", views.why, name="why"),
    path("privacy/", about.privacy, name="privacy"),
    path("imprint/", about.imprint, name="imprint"),
    path("embed/", about.embed, name="embed"),
    path("letters/", gallery.letters, name="letters"),
    path("letters/<slug:name>/<slug:language>/", gallery.letter, name="letter"),
    path("letters/<slug:name>/<slug:language>/<slug:part>/", gallery.part, name="letter-part"),
    path("robots.txt", views.robots),
    path("healthz/", views.ready, name="ready"),
    path("healthz/live/", views.live, name="live"),
    path("metrics", views.metrics, name="metrics"),
]
