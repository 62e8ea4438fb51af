from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0026_messages"),
    ]

    operations = [
        migrations.AlterField(
            model_name="subscriber",
            name="channel",
            field=models.CharField(
                blank=True,
                choices=[
                    ("slack", "Slack, Mattermost, Rocket.Chat or Discord"),
                    ("teams", "Microsoft Teams"),
                    ("telegram", "Telegram"),
                    ("apprise", "Apprise (Zulip, Matrix, ntfy, Mastodon and others)"),
                    ("json", "JSON webhook"),
                ],
                db_default="",
                default="",
                max_length=10,
                verbose_name="kind",
            ),
        ),
    ]
