"""After forecasting: is anything left in the errors?"""
