import '../styles/tokens.css';
import '../styles/base.css';
import '../state/theme.svelte';
import { mount } from 'svelte';
import Docs from './Docs.svelte';

const target = document.getElementById('app');
if (target) mount(Docs, { target });
