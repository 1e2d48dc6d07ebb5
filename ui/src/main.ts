import '$lib/fonts.css';
import '$lib/tokens.css';
import '$lib/base.css';
import type { Api } from '$lib/api/client';
import { mount } from 'svelte';
import App from './App.svelte';

/** The real engine inside the window; the scripted one in `vite dev`, where there is no engine. */
async function chooseApi(): Promise<Api> {
  if (import.meta.env.DEV && !('__TAURI_INTERNALS__' in window)) {
    const { FakeApi } = await import('$lib/api/fake');
    return new FakeApi(new URLSearchParams(location.search).get('scene') ?? 'healthy');
  }
  const { TauriApi } = await import('$lib/api/tauri');
  return new TauriApi();
}

const target = document.getElementById('app');
if (target) mount(App, { target, props: { api: await chooseApi() } });
