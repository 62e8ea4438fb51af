from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0026_summaries"),
    ]

    operations = [
        migrations.AlterModelTable(
            name="turn",
            table="digest_turn",
        ),
        migrations.RenameModel(
            old_name="Turn",
            new_name="Lock",
        ),
        migrations.AlterModelTable(
            name="pulse",
            table="digest_pulse",
        ),
        migrations.RenameModel(
            old_name="Pulse",
            new_name="Heartbeat",
        ),
        migrations.AlterModelTable(
            name="tally",
            table="digest_tally",
        ),
        migrations.RenameModel(
            old_name="Tally",
            new_name="DailyCount",
        ),
        migrations.AlterModelOptions(
            name="dailycount",
            options={"ordering": ["day", "measure"]},
        ),
        migrations.AlterField(
            model_name="coverage",
            name="had",
            field=models.PositiveIntegerField(db_column="had", default=0),
        ),
        migrations.RenameField(
            model_name="coverage",
            old_name="had",
            new_name="stored",
        ),
        migrations.AlterField(
            model_name="harvest",
            name="seen",
            field=models.PositiveIntegerField(db_column="seen", default=0),
        ),
        migrations.RenameField(
            model_name="harvest",
            old_name="seen",
            new_name="records",
        ),
        migrations.AlterField(
            model_name="harvest",
            name="bad",
            field=models.PositiveIntegerField(db_column="bad", default=0),
        ),
        migrations.RenameField(
            model_name="harvest",
            old_name="bad",
            new_name="unreadable",
        ),
        migrations.AlterField(
            model_name="harvest",
            name="said",
            field=models.TextField(blank=True, db_column="said"),
        ),
        migrations.RenameField(
            model_name="harvest",
            old_name="said",
            new_name="result",
        ),
        migrations.AlterField(
            model_name="alarm",
            name="said",
            field=models.CharField(db_column="said", max_length=500),
        ),
        migrations.RenameField(
            model_name="alarm",
            old_name="said",
            new_name="text",
        ),
        migrations.AlterField(
            model_name="alarm",
            name="told_at",
            field=models.DateTimeField(blank=True, db_column="told_at", null=True),
        ),
        migrations.RenameField(
            model_name="alarm",
            old_name="told_at",
            new_name="notified_at",
        ),
        migrations.AlterField(
            model_name="alarm",
            name="end_told_at",
            field=models.DateTimeField(blank=True, db_column="end_told_at", null=True),
        ),
        migrations.RenameField(
            model_name="alarm",
            old_name="end_told_at",
            new_name="end_notified_at",
        ),
        migrations.AlterField(
            model_name="readermodel",
            name="said",
            field=models.PositiveIntegerField(
                db_column="said",
                default=1,
                help_text="Number of feedback actions and removed words.",
            ),
        ),
        migrations.RenameField(
            model_name="readermodel",
            old_name="said",
            new_name="feedback_count",
        ),
        migrations.AlterField(
            model_name="readermodel",
            name="learned",
            field=models.PositiveIntegerField(
                db_column="learned", default=0, help_text="How much of it is in these words."
            ),
        ),
        migrations.RenameField(
            model_name="readermodel",
            old_name="learned",
            new_name="fitted_count",
        ),
    ]
