"""The sign-up form, and sending a lost link again."""

from django import forms
from django.conf import settings
from django.db import transaction
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language_from_request
from django.utils.translation import gettext_lazy as _

from digest.views import chips
from digest.views.access import consent_source, csrf_exempt_form
from digest.views.forms.fields import HourField, LanguageField, PageForm, zone_named
from digest.views.forms.interests import TopicsForm
from digest.views.subscribing import preview
from subscriptions import addresses
from subscriptions.actions import signup
from subscriptions.actions.signup import SignUpRequest
from subscriptions.db import retry_on_integrity_error
from subscriptions.delivery.status import sending_status
from subscriptions.models import Topic
from subscriptions.notices import send
from subscriptions.security import rate_limits

CONSENT = _("I’d like a daily email with new papers. Unsubscribe any time.")


class AddressForm(PageForm):
    USUAL_DOMAINS, OTHER_DOMAINS = addresses.USUAL_DOMAINS, addresses.OTHER_DOMAINS
    email = forms.CharField(
        max_length=320,
        label=_("Email address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "placeholder": "you@example.org"}),
    )

    def clean_email(self):
        return addresses.normalise(self.cleaned_data["email"])


class SignUpForm(TopicsForm, AddressForm):
    field_order = ("interests", "topics", "email", "hour", "timezone")  # Of the page.
    hour = HourField(required=False, empty_value=7, initial=7, label=_("Hour"))
    timezone = forms.CharField(max_length=64, required=False, label=_("Time zone"))
    language = LanguageField(widget=forms.HiddenInput)  # For forms on other sites.
    #: Hidden: only bots fill it in.
    website = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_website(self):
        """Explain the refusal: a browser may have filled it in for a person, who can try again."""
        if self.cleaned_data["website"]:
            raise forms.ValidationError(
                _("This looks like an automated request. If you are human, please send it again.")
            )

    def clean_timezone(self):
        return zone_named(self.cleaned_data["timezone"] or "UTC")

    def sign_up_request(self, default_language: str) -> SignUpRequest:
        """Return everything that the visitor asked for. Add a field of the form here."""
        data = self.cleaned_data
        language = data["language"] or default_language
        return SignUpRequest(self.topic_selection(), data["timezone"], data["hour"], language)

    @classmethod
    def with_choices(cls, params):
        """Return the unbound form with the topics and queries of a URL."""
        selection = {"topics": params.getlist("topics"), "interests": params.get("interests", "")}
        return cls(initial={"hour": 7, **selection})


@csrf_exempt_form  # Other sites may embed the form; the sign-up has to be confirmed by email.
@retry_on_integrity_error
def subscribe(request):
    """Sign up. The response does not depend on whether the address is subscribed."""
    if request.method != "POST":
        return _sign_up_page(request, SignUpForm.with_choices(request.GET))
    form = SignUpForm(request.POST)
    if not form.is_valid():
        return _sign_up_page(request, form, status=400)
    now = timezone.now()
    rate_limits.check_visitor("sign-up", request.META["REMOTE_ADDR"], now)
    if request.bypassed_proxies:
        rate_limits.report_bypassed_proxy(now)
    email = form.cleaned_data["email"]
    own_origins = (settings.SITE_URL, f"{request.scheme}://{request.get_host()}")
    is_own_form = request.headers.get("Origin", settings.SITE_URL) in own_origins
    via = "sign-up form" if is_own_form else "sign-up form on another site"
    with transaction.atomic():  # One, so that each sign-up writes something.
        if rate_limits.check_mailbox("sign-up", email, now):
            sign_up_request = form.sign_up_request(get_language_from_request(request))
            source = consent_source(request, via, CONSENT)
            signup.subscribe(email, sign_up_request, source=source, now=now)
    context = {"interests": chips.plain_chips(form.topic_selection())}
    context |= _expected_letter(email, now)
    response = render(request, "digest/subscribing/check_inbox.html", context)
    add_never_cache_headers(response)  # It shows what was typed.
    return response


def _sign_up_page(request, form, status=200):
    topics = Topic.objects.offered_with(form["topics"].value() or [])
    params, now = request.POST or request.GET, timezone.now()
    parts = preview.parts_for(params, now, errors=form.errors)
    context = {"form": form, "consent": CONSENT, "parts": parts, **topics.grouped()}
    return render(request, "digest/subscribing/subscribe.html", context, status=status)


@csrf_exempt_form  # The letter goes to the address alone, and there is no cookie to protect.
def resend_link(request):
    """Send the link to the preferences again. Does not tell whether the address is subscribed."""
    form = AddressForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "digest/subscribing/resend_link.html", {"form": form}, status=status)
    email, now = form.cleaned_data["email"], timezone.now()
    rate_limits.check_visitor("lost link", request.META["REMOTE_ADDR"], now)
    with transaction.atomic():  # One, so that each request writes something.
        if rate_limits.check_mailbox("lost link", email, now):
            send.send_link(email, now=now)
    return render(request, "digest/subscribing/resend_link_sent.html", _expected_letter(email, now))


def _expected_letter(email, now):
    """Return the context of a page that announces a letter, whether or not one is sent."""
    return {
        "address": addresses.readable(email),
        "meant": addresses.suggestion(email),
        "goes_to_files": settings.EMAIL_URL.startswith("file:"),
        "is_held_up": is_held_up(now),
    }


def is_held_up(now):
    """Return whether no letters are sent at the moment."""
    return sending_status(now).grade != "on"
