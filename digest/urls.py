from django.contrib.sitemaps import views as sitemaps
from django.urls import path
from django.views.decorators.cache import cache_control

from digest.views import about, api, feeds, home, library, mcp, papers, reader, saved, system
from digest.views.access import public_page
from digest.views.preferences import actions, learned
from digest.views.sitemaps import ALL
from digest.views.subscribing import change_address, confirm, sign_up, unsubscribe


def hourly(view):
    return public_page(cache_control(max_age=3600)(view))


api.API.add_router("", mcp.router)

JSON = {"feed_type": feeds.JsonFeed}

urlpatterns = [
    path("", home.home, name="home"),
    path("preview/", home.preview, name="preview"),
    path("subscribe/", sign_up.subscribe, name="subscribe"),
    path("lost/", sign_up.resend_link, name="lost"),
    path("confirm/<str:token>/", confirm.confirm, name="confirm"),
    path("preferences/<str:token>/", actions.preferences, name="preferences"),
    path("learned/<str:token>/", learned.learned, name="learned"),
    path("move/<str:token>/", change_address.move, name="move"),
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("unsubscribe/<str:token>/messages/", unsubscribe.opt_out, name="opt-out"),
    path("topics/", home.topics, name="topics"),
    path("topics/<slug:slug>/", papers.topic, name="topic"),
    path("topics/<slug:slug>/feed/", feeds.topic, name="topic-feed"),
    path("topics/<slug:slug>/feed/json/", feeds.topic, JSON, name="topic-feed-json"),
    path("papers/<path:identity>/", papers.paper, name="paper"),
    path("days/<str:day>/", papers.day, name="day"),
    path("trending/", papers.trending, name="trending"),
    path("trending/embed/", papers.trending_embed, name="trending-embed"),
    path("trending/feed/", feeds.trending, name="trending-feed"),
    path("trending/feed/json/", feeds.trending, JSON, name="trending-feed-json"),
    path("search/", papers.search, name="search"),
    path("search/feed/", feeds.search, name="search-feed"),
    path("search/feed/json/", feeds.search, JSON, name="search-feed-json"),
    path("feeds/<str:token>/", feeds.reader, name="reader-feed"),
    path("feeds/<str:token>/json/", feeds.reader, JSON, name="reader-feed-json"),
    path("me/<str:token>/", reader.today, name="me"),
    path("history/<str:token>/", reader.history, name="history"),
    path("digests/<str:token>/", reader.digest, name="digest"),
    path("e/<str:token>/", reader.short_link, name="short"),
    path("e/<str:token>/<int:position>/", reader.short_link, name="short-paper"),
    path("feedback/<str:token>/", reader.feedback, name="feedback"),
    path("library/<str:token>/", library.page, name="library"),
    path("saved/<str:token>/", saved.page, name="saved"),
    path("saved/<str:token>/bibtex/", saved.file, {"kind": "bibtex"}, name="saved-bibtex"),
    path("saved/<str:token>/ris/", saved.file, {"kind": "ris"}, name="saved-ris"),
    path("saved/<str:token>/markdown/", saved.file, {"kind": "markdown"}, name="saved-markdown"),
    path("saved/<str:token>/csv/", saved.file, {"kind": "csv"}, name="saved-csv"),
    path("why/<str:token>/", reader.why, name="why"),
    path("api/v1/", about.api, name="api"),
    path("", api.API.urls),
    path("recommend/<str:token>/", reader.recommend, name="recommend"),
    path("privacy/", about.privacy, name="privacy"),
    path("imprint/", about.imprint, name="imprint"),
    path("embed/", about.embed, name="embed"),
    path("robots.txt", system.robots),
    path("sitemap.xml", hourly(sitemaps.index), {"sitemaps": ALL, "sitemap_url_name": "sitemap"}),
    path("sitemap-<slug:section>.xml", hourly(sitemaps.sitemap), {"sitemaps": ALL}, name="sitemap"),
    path("healthz/", system.ready, name="ready"),
    path("healthz/live/", system.live, name="live"),
    path("metrics", system.metrics, name="metrics"),
]
