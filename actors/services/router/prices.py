"""What a completion cost, by the price list of the `genai-prices` package. No network, no price of our own.

A price belongs to the address that was asked: the same model behind another address is not known to cost the same.
"""

import warnings

import anyio.to_thread

from actors.services.router.exchange import Usage


async def cost_usd(url: str, model: str, usage: Usage) -> float | None:
    """US dollars for `usage`; None when the list has no price for that model at that address."""
    # In a thread: the first call reads a list of some megabytes.
    return await anyio.to_thread.run_sync(_cost, url, model, usage)


def _cost(url: str, model: str, usage: Usage) -> float | None:
    # Imported when first needed: it takes half a second, and a company without a priced model never needs it.
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.tokens_in,
        output_tokens=usage.tokens_out,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A price that is only partly known is said to be unknown below.
            return float(genai_prices.calc_price(counted, model, provider_api_url=url).total_price)
    except (LookupError, ValueError):
        return None
