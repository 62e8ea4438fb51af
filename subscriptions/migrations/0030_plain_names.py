import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0029_summary_language"),
    ]

    operations = [
        migrations.AlterModelTable(
            name="volley",
            table="subscriptions_volley",
        ),
        migrations.RenameModel(
            old_name="Volley",
            new_name="MimeBatch",
        ),
        migrations.AlterModelOptions(
            name="mimebatch",
            options={},
        ),
        migrations.AlterField(
            model_name="letter",
            name="stumbles",
            field=models.PositiveIntegerField(
                db_column="stumbles",
                default=0,
                help_text="Attempts that ended in a crash or an error.",
            ),
        ),
        migrations.RenameField(
            model_name="letter",
            old_name="stumbles",
            new_name="failed_attempts",
        ),
        migrations.AlterField(
            model_name="letter",
            name="volley",
            field=models.ForeignKey(
                blank=True,
                db_column="volley_id",
                db_constraint=False,
                db_index=False,
                help_text="Where its bytes are stored from handing over until it ends.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to="subscriptions.mimebatch",
            ),
        ),
        migrations.RenameField(
            model_name="letter",
            old_name="volley",
            new_name="mime_batch",
        ),
        migrations.AlterField(
            model_name="letter",
            name="mime_at",
            field=models.PositiveIntegerField(
                db_column="mime_at", default=0, help_text="Where its bytes begin in the batch."
            ),
        ),
        migrations.RenameField(
            model_name="letter",
            old_name="mime_at",
            new_name="mime_offset",
        ),
        migrations.AlterField(
            model_name="letterevent",
            name="was",
            field=models.CharField(blank=True, db_column="was", max_length=12),
        ),
        migrations.RenameField(
            model_name="letterevent",
            old_name="was",
            new_name="old_state",
        ),
        migrations.AlterField(
            model_name="letterevent",
            name="became",
            field=models.CharField(db_column="became", max_length=12),
        ),
        migrations.RenameField(
            model_name="letterevent",
            old_name="became",
            new_name="new_state",
        ),
        migrations.AlterField(
            model_name="letterfact",
            name="said",
            field=models.CharField(
                blank=True, db_column="said", max_length=300, verbose_name="server reply"
            ),
        ),
        migrations.RenameField(
            model_name="letterfact",
            old_name="said",
            new_name="reply",
        ),
        migrations.AlterField(
            model_name="provider",
            name="said",
            field=models.CharField(blank=True, db_column="said", max_length=300),
        ),
        migrations.RenameField(
            model_name="provider",
            old_name="said",
            new_name="reply",
        ),
        migrations.AlterField(
            model_name="sending",
            name="said",
            field=models.CharField(blank=True, db_column="said", max_length=300),
        ),
        migrations.RenameField(
            model_name="sending",
            old_name="said",
            new_name="reply",
        ),
        migrations.AlterField(
            model_name="seal",
            name="why",
            field=models.CharField(
                choices=[
                    ("complained", "spam report"),
                    ("bounced", "bounced"),
                    ("asked", "asked never to get email"),
                    ("operator", "blocked by an operator"),
                    ("invited", "was invited"),
                ],
                db_column="why",
                max_length=10,
            ),
        ),
        migrations.RenameField(
            model_name="seal",
            old_name="why",
            new_name="reason",
        ),
        migrations.AlterField(
            model_name="subscriber",
            name="asked_for",
            field=models.JSONField(
                blank=True,
                db_column="asked_for",
                default=dict,
                help_text="Settings of a new sign-up after unsubscribing, until confirmed.",
            ),
        ),
        migrations.RenameField(
            model_name="subscriber",
            old_name="asked_for",
            new_name="pending_settings",
        ),
        migrations.AlterField(
            model_name="subscriber",
            name="began_at",
            field=models.DateTimeField(
                blank=True,
                db_column="began_at",
                help_text="When they last confirmed a sign-up.",
                null=True,
            ),
        ),
        migrations.RenameField(
            model_name="subscriber",
            old_name="began_at",
            new_name="subscribed_at",
        ),
    ]
