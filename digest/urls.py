from django.contrib.sitemaps import views as sitemaps
from django.urls import path
from django.views.decorators.cache import cache_control

from digest import about, feeds, library, papers, saved, views
from digest.sitemaps import ALL
from subscriptions.views import public_page


def hourly(view):
    return public_page(cache_control(max_age=3600)(view))


urlpatterns = [
    path("", views.home, name="home"),
    path("preview/", views.preview, name="preview"),
    path("topics/", views.topics, name="topics"),
    path("topics/<slug:slug>/", papers.topic, name="topic"),
    path("topics/<slug:slug>/feed/", feeds.topic, name="topic-feed"),
    path("papers/<path:identity>/", papers.paper, name="paper"),
    path("days/<str:day>/", papers.day, name="day"),
    path("search/", papers.search, name="search"),
    path("feeds/<str:token>/", feeds.reader, name="reader-feed"),
    path("digests/<str:token>/", views.digest, name="digest"),
    path("feedback/<str:token>/", views.feedback, name="feedback"),
    path("learned/<str:token>/", views.learned, name="learned"),
    path("library/<str:token>/", library.page, name="library"),
    path("saved/<str:token>/", saved.page, name="saved"),
    path("saved/<str:token>/bibtex/", saved.bibtex, name="saved-bibtex"),
    path("saved/<str:token>/ris/", saved.ris, name="saved-ris"),
    path("why/<str:token>/", views.why, name="why"),
    path("privacy/", about.privacy, name="privacy"),
    path("imprint/", about.imprint, name="imprint"),
    path("embed/", about.embed, name="embed"),
    path("robots.txt", views.robots),
    path("sitemap.xml", hourly(sitemaps.index), {"sitemaps": ALL, "sitemap_url_name": "sitemap"}),
    path("sitemap-<slug:section>.xml", hourly(sitemaps.sitemap), {"sitemaps": ALL}, name="sitemap"),
    path("healthz/", views.ready, name="ready"),
    path("healthz/live/", views.live, name="live"),
    path("metrics", views.metrics, name="metrics"),
]
