import { useEffect, useState } from 'react';

export function CopyButton({ value, what }: { value: string; what: string }) {
  const [outcome, setOutcome] = useState<'copied' | 'failed' | null>(null);
  useEffect(() => {
    if (outcome === null) return undefined;
    const timer = window.setTimeout(() => setOutcome(null), 2_000);
    return () => window.clearTimeout(timer);
  }, [outcome]);

  return (
    <button
      type="button"
      className="quiet-button"
      aria-label={`Copy ${what}`}
      onClick={() => void copy(value).then((isCopied) => setOutcome(isCopied ? 'copied' : 'failed'))}
    >
      <span aria-live="polite">{outcome === 'copied' ? 'Copied' : outcome === 'failed' ? 'Not allowed' : 'Copy'}</span>
    </button>
  );
}

/** Browsers offer the clipboard on HTTPS and localhost only; the older way works on a plain address too. */
async function copy(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = value;
    area.setAttribute('readonly', '');
    area.style.position = 'fixed';
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    return isCopied;
  }
}
