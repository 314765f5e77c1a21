/**
 * Preloaded into the role processes of the demo and of tests: they end when their parent goes, however it died, since the
 * kernel closes the channel between them. The roles themselves know nothing of it.
 */
process.once("disconnect", () => process.exit(1));
process.channel?.unref();
