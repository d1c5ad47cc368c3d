"""What the composing programs share: citing evidence, judging rules, drafting containers. No tools by themselves."""
