"""What the analysis programs share: syntax trees, differences, history and manifests. No tools by themselves."""
