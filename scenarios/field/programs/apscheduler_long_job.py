"""A scheduler is shut down without waiting while a job runs."""
import time

from apscheduler.schedulers.background import BackgroundScheduler

scheduler = BackgroundScheduler()
scheduler.add_job(lambda: time.sleep(1000))
scheduler.start()
time.sleep(0.5)
scheduler.shutdown(wait=False)
