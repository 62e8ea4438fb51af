"""The topics that a new installation begins with. Operators change them in the admin panel."""

from digest.sources import taxonomy
from subscriptions.models import Topic, arxiv_slug

TOPICS = [
    (
        "large-language-models",
        "Large language models",
        "How language models are built, trained, aligned and put to use.",
        "large language models, LLM reasoning, instruction tuning, LLM alignment, LLM pretraining",
    ),
    (
        "agents",
        "AI agents",
        "Models that plan, use tools and work in several steps.",
        "LLM agents, tool use agents, multi-agent systems, agentic reasoning, GUI agents",
    ),
    (
        "computer-vision",
        "Computer vision",
        "Seeing: detection, segmentation, depth, scenes.",
        "object detection, image segmentation, visual recognition, depth estimation, "
        "3D scene reconstruction, visual tracking",
    ),
    (
        "generative-images-video",
        "Image and video generation",
        "Diffusion and flow models that draw and film.",
        "image generation, video generation, diffusion models images, text-to-image, "
        "text-to-video, image editing",
    ),
    (
        "multimodal",
        "Vision and language",
        "Models that read, see and hear at once.",
        "vision-language models, multimodal language models, visual question answering, "
        "image captioning",
    ),
    (
        "reinforcement-learning",
        "Reinforcement learning",
        "Agents that learn from reward.",
        "reinforcement learning, policy optimization, reward models, offline RL",
    ),
    (
        "robotics",
        "Robotics",
        "Robots that move, grasp and drive.",
        "robot manipulation, robot navigation, legged locomotion, autonomous driving, "
        "vision-language-action models, motion planning",
    ),
    (
        "graph-learning",
        "Graph learning",
        "Graph neural networks and learning on networks.",
        "graph neural networks, graph representation learning, node classification, "
        "link prediction, graph transformers, message passing graph",
    ),
    (
        "molecules-and-proteins",
        "Molecules and proteins",
        "Machine learning for chemistry, drugs and biology.",
        "molecular property prediction, molecule generation, protein structure, protein design, "
        "protein language models, drug discovery, antibody design",
    ),
    (
        "theory-and-optimisation",
        "Learning theory and optimisation",
        "Why learning works, and how fast it can.",
        "generalization bounds, convergence analysis optimization, stochastic gradient descent, "
        "statistical learning theory, convex optimization",
    ),
    (
        "trust-and-safety",
        "Safety, privacy and fairness",
        "Attacks, defences, privacy, bias and explanation.",
        "adversarial attacks, jailbreak language models, differential privacy, "
        "algorithmic fairness, model interpretability, federated learning privacy",
    ),
    (
        "speech-and-audio",
        "Speech and audio",
        "Recognition, synthesis and music.",
        "speech recognition, speech synthesis, text-to-speech, audio generation, music generation",
    ),
    (
        "medicine",
        "Medicine and health",
        "Medical images, clinical text, care.",
        "medical image segmentation, clinical prediction, radiology, electronic health records, "
        "disease diagnosis",
    ),
    (
        "climate-and-earth",
        "Climate and Earth",
        "Weather, oceans and the view from above.",
        "weather forecasting, climate models, remote sensing, earth observation, "
        "precipitation prediction",
    ),
    (
        "physics-and-quantum",
        "Physics and quantum computing",
        "Physics with machine learning, and quantum machines.",
        "quantum computing, quantum circuits, physics-informed neural networks, "
        "partial differential equations, quantum error correction",
    ),
    (
        "time-series-and-finance",
        "Time series and finance",
        "Forecasting, markets and risk.",
        "time series forecasting, portfolio optimization, stock prediction, financial markets, "
        "anomaly detection time series",
    ),
]


def make_topics() -> int:
    """Make the starter topics where the house has none yet. Return how many were made.

    arXiv's categories are topics too; where none of them is, all are made.
    """
    return _make_subjects() + _make_categories()


def _make_categories():
    if Topic.objects.curated().of_arxiv().exists():
        return 0
    return len(
        Topic.objects.bulk_create(
            (
                Topic(
                    slug=arxiv_slug(category),
                    name=f"{category}: {name}",
                    categories=[category],
                    description=_heading(category),
                )
                for category, name in taxonomy.CATEGORIES.items()
                if taxonomy.canonical(category) == category
            ),
            ignore_conflicts=True,
        )
    )


def _heading(category):
    """Return the archive's name. An archive that is a single category stands under its group."""
    is_single = category in taxonomy.ARCHIVES
    return taxonomy.ARCHIVES[(taxonomy.group_of if is_single else taxonomy.archive_of)(category)]


def _make_subjects():
    if Topic.objects.curated().by_subject().exists():
        return 0
    made = Topic.objects.bulk_create(
        (
            Topic(slug=slug, name=name, description=description, query=query)
            for slug, name, description, query in TOPICS
        ),
        ignore_conflicts=True,
    )
    return len(made)
