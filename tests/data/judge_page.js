async rules => {
    document.querySelectorAll("details").forEach(one => one.open = true);
    const options = {rules: {"target-size": {enabled: true}}};
    if (rules.length) options.runOnly = rules;
    const {violations} = await axe.run(document, options);
    const found = violations.flatMap(one => one.nodes.map(
        node => [one.id, `${node.target.join(" ")} ${node.html}`, node.failureSummary]
    ));
    const {scrollWidth, clientWidth} = document.documentElement;
    return scrollWidth > clientWidth ? [...found, ["sideways", `${scrollWidth}`, ""]] : found;
}
